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
            $this->connection->send('{"type":"log","id":' . $this->id . ',"stream":"' . $stream . '"}', $lines . "\n");
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

    /** Answers once; `more` holds further members of the frame's header. */
    public function answer(int $status, string $headers = '[]', string $body = '', string $more = ''): void
    {
        if ($this->done) {
            return;
        }
        $this->finishLine();
        $this->done = true;
        $this->connection->send(
            '{"type":"response","id":' . $this->id . ',"statusCode":' . $status . ',"headers":' . $headers . $more . '}',
            $body,
        );
    }

    public function fail(string $reason, int $status = 500, string $more = ''): void
    {
        $this->finishLine();
        $this->write('errors', cut($reason));
        $this->answer($status, more: $more);
    }

    public function finishLine(): void
    {
        if ($this->unfinished !== '') {
            $this->print("\n");
        }
    }
}
