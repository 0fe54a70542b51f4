<?php

declare(strict_types=1);

namespace Minifn;

/** The socket to the server: u32 header length, u32 body length (big-endian), header, body. */
final class Connection
{
    /** @var resource */
    private $in;
    /** @var resource */
    private $out;

    public function __construct(int $descriptor)
    {
        $this->in = fopen("php://fd/$descriptor", 'rb');
        $this->out = fopen("php://fd/$descriptor", 'wb');
        // A frame that is not read yet stays in the socket, where the watcher finds it.
        stream_set_read_buffer($this->in, 0);
        stream_set_write_buffer($this->out, 0);
    }

    /** Returns the next frame as [header, body], null when the server has closed the connection. */
    public function receive(): ?array
    {
        $lengths = $this->take(8);
        if ($lengths === null) {
            return null;
        }
        ['header' => $header, 'body' => $body] = unpack('Nheader/Nbody', $lengths);
        $frame = $this->take($header + $body);
        if ($frame === null) {
            return null;
        }
        return $body === 0
            ? [json_decode($frame, true), '']
            : [json_decode(substr($frame, 0, $header), true), substr($frame, $header)];
    }

    /** Tells whether a frame can be read without waiting. */
    public function hasFrame(): bool
    {
        $read = [$this->in];
        $none = null;
        return @stream_select($read, $none, $none, 0) === 1;
    }

    public function send(string $header, string $body = ''): void
    {
        $data = pack('NN', strlen($header), strlen($body)) . $header . $body;
        $written = @fwrite($this->out, $data);
        while ($written !== strlen($data)) {
            if ($written === false) {
                // The server is gone, and ends this process.
                return;
            }
            $data = substr($data, $written);
            $written = @fwrite($this->out, $data);
        }
    }

    public function decline(int $id): void
    {
        $this->send('{"type":"decline","id":' . $id . '}');
    }

    /** Tells the server how many requests it may send at once; 0 = any number. */
    public function tellConcurrency(int $concurrency): void
    {
        $this->send('{"type":"capacity","concurrency":' . $concurrency . '}');
    }

    private function take(int $length): ?string
    {
        $data = fread($this->in, $length);
        if ($data === false || strlen($data) < $length) {
            $data .= stream_get_contents($this->in, $length - strlen((string) $data));
        }
        return strlen($data) === $length ? $data : null;
    }
}
