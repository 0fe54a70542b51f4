<?php

declare(strict_types=1);

namespace Minifn;

/** One request in flight: its logs and its answer. */
final class Call
{
    private const NATIVE_NOTICE =
        'Native logs detected. Use context.log() or context.error() for better experience.';

    private bool $noticed = false;
    private bool $done = false;
    /** Printed text whose line has not ended. */
    private string $unfinished = '';

    public function __construct(
        private Connection $connection,
        public readonly int $id,
        private bool $logging,
    ) {
    }

    public function write(string $stream, string $lines): void
    {
        if ($this->logging && !$this->done) {
            $header = '{"type":"log","id":' . $this->id . ',"stream":"' . $stream . '"}';
            $this->connection->send($header, $lines . "\n");
        }
    }

    /** Logs printed text line by line, after one notice. */
    public function print(string $text): void
    {
        $lines = explode("\n", $this->unfinished . $text);
        $this->unfinished = substr(array_pop($lines), 0, LINE_LIMIT + 1);
        foreach ($lines as $line) {
            if (!$this->noticed) {
                $this->noticed = true;
                $this->write('logs', self::NATIVE_NOTICE);
            }
            $this->write('logs', cut($line));
        }
    }

    /** Answers once, and tells whether it did; `more` holds further members of the header. */
    public function answer(
        int $status,
        string $headers = '[]',
        string $body = '',
        string $more = '',
    ): bool {
        if ($this->done) {
            return false;
        }
        $this->finishLine();
        $this->done = true;
        $members = '"id":' . $this->id . ',"statusCode":' . $status . ',"headers":' . $headers;
        $this->connection->send('{"type":"response",' . $members . $more . '}', $body);
        return true;
    }

    public function fail(string $reason, int $status = 500, string $more = ''): bool
    {
        $this->finishLine();
        $this->write('errors', cut($reason));
        return $this->answer($status, more: $more);
    }

    public function finishLine(): void
    {
        if ($this->unfinished !== '') {
            $this->print("\n");
        }
    }
}
