<?php

declare(strict_types=1);

namespace Minifn;

/** Reads requests, runs the function, and answers for it when it ends the process. */
final class Worker
{
    /** Levels of errors that end PHP. */
    private const FATAL =
        E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR;
    private const TIMED_OUT = 'Execution timed out.';
    private const ENDED = "The function ended its process: it called exit() or die().\n";
    /** Bytes that are kept of what the function prints while it is loaded ahead of requests. */
    private const PRINTED_LIMIT = 1_000_000;

    private ?Call $call = null;
    private \RuntimeResponse $response;
    private string $printedAhead = '';
    private bool $leaving = false;
    private int $process;
    private bool $hasAlarm = false;

    public function __construct(
        private Connection $connection,
        private Loader $loader,
        private Pace $pace,
        private array $enforcedHeaders,
    ) {
        $this->response = new \RuntimeResponse();
        $this->process = getmypid();
    }

    /** Serves until the server sends `stop` or closes the connection. */
    public function run(): never
    {
        register_shutdown_function($this->shutDown(...));
        set_error_handler($this->warn(...));
        ob_start($this->print(...), 1);
        if (function_exists('pcntl_async_signals')) {
            pcntl_async_signals(true);
            $this->hasAlarm = pcntl_signal(SIGALRM, $this->expire(...));
        }
        while (($frame = $this->connection->receive()) !== null) {
            [$header, $body] = $frame;
            if ($header['type'] === 'request') {
                $this->runCall($header, $body);
            } elseif ($header['type'] === 'load') {
                if ($this->loader->load() !== '' && !$this->loader->spent) {
                    // The next attempt prints it again.
                    $this->printedAhead = '';
                }
            } elseif ($header['type'] === 'stop') {
                break;
            }
        }
        $this->leave();
    }

    private function runCall(array $frame, string $body): void
    {
        $this->call = $call = new Call($this->connection, $frame['id'], $frame['logging']);
        if ($this->hasAlarm) {
            pcntl_alarm((int) ceil($frame['timeout']));
        }
        $isFirst = $this->loader->main === null;
        $this->pace->enter($frame['id']);
        $answer = null;
        $reason = '';
        try {
            if ($this->printedAhead !== '') {
                $call->print($this->printedAhead);
                $this->printedAhead = '';
            }
            if (!$isFirst || $this->load($call)) {
                $request = $this->request($frame, $body);
                $context = new \RuntimeContext($request, $this->response, $call);
                $result = ($this->loader->main)($context);
                $this->leaveIfForked();
                $answer = readResult($result);
            }
        } catch (\Throwable $error) {
            $this->leaveIfForked();
            $reason = $error instanceof WrongResult ? $error->getMessage() : describe($error);
        }
        $this->collectOutput();
        // Before the answer: a large one must not meet a frame of the watcher.
        $this->pace->leave(counts: !$isFirst);
        if ($answer !== null) {
            $call->answer(...$answer);
        } elseif ($reason !== '') {
            $call->fail($reason);
        }
        $this->call = null;
    }

    /** Loads the function during a call, and answers the call when that fails. */
    private function load(Call $call): bool
    {
        $problem = $this->loader->load();
        if ($problem !== '') {
            $this->collectOutput();
            $call->fail($problem, 503, $this->loader->spent ? ',"stuck":true' : '');
        }
        return $problem === '';
    }

    private function request(array $frame, string $body): \RuntimeRequest
    {
        $request = new \RuntimeRequest();
        $request->bodyBinary = $body;
        $request->headers = $this->enforcedHeaders + $frame['headers'];
        $request->method = $frame['method'];
        $request->scheme = $scheme = $frame['scheme'];
        $request->host = $host = $frame['host'];
        $request->port = $port = $frame['port'];
        $request->path = $path = $frame['path'];
        $request->queryString = $query = $frame['query'];
        $shown = $port === ($scheme === 'https' ? 443 : 80) ? '' : ":$port";
        $request->url = "$scheme://$host$shown$path";
        if ($query !== '') {
            $request->url .= "?$query";
            foreach (explode('&', $query) as $pair) {
                [$name, $value] = explode('=', $pair, 2) + [1 => ''];
                if ($name !== '') {
                    $request->query[$name] = $value;
                }
            }
        }
        return $request;
    }

    /** Takes printed text: the handler of the outermost output buffer. */
    private function print(string $text): string
    {
        if ($this->call !== null) {
            $this->call->print($text);
        } elseif ($this->loader->loading) {
            $this->printedAhead = substr($this->printedAhead . $text, 0, self::PRINTED_LIMIT);
        }
        return '';
    }

    /** Empties the function's own output buffers into the outermost one, which may be gone. */
    private function collectOutput(): void
    {
        $level = ob_get_level();
        if ($level === 0) {
            ob_start($this->print(...), 1);
        }
        for (; $level > 1; $level--) {
            @ob_end_flush();
        }
    }

    /** Prints what PHP has to say about the function: the handler of its warnings. */
    private function warn(int $level, string $message, string $file, int $line): bool
    {
        if (error_reporting() & $level & ~self::FATAL) {
            $this->print((LEVELS[$level] ?? 'Warning') . ": $message in $file on line $line\n");
        }
        return false;
    }

    /** Answers a call after its deadline: the handler of SIGALRM. */
    private function expire(): void
    {
        if ($this->call?->fail(self::TIMED_OUT, more: ',"failure":"timeout","stuck":true')) {
            $this->pace->stopCalls();
            $this->declineAll();
        }
    }

    /** Begins the end of the process, which the function may have asked for. */
    private function shutDown(): void
    {
        if (!$this->leaving && getmypid() === $this->process) {
            ini_set('memory_limit', '-1');
            // After the shutdown functions of the function.
            register_shutdown_function($this->explainEnd(...));
        }
    }

    private function explainEnd(): void
    {
        $this->pace->stopCalls();
        $this->collectOutput();
        $error = error_get_last();
        if ($error !== null && ($error['type'] & self::FATAL)) {
            $place = "{$error['file']}:{$error['line']}";
            $this->explainFatal("Fatal error: {$error['message']} in $place");
        }
        $this->call?->finishLine();
        // The call that is still open keeps the server from sending more.
        $this->connection->tellConcurrency(1);
        while ($this->connection->hasFrame() && ($frame = $this->connection->receive()) !== null) {
            $this->decline($frame[0]);
        }
        @file_put_contents('php://stderr', self::ENDED);
    }

    private function explainFatal(string $reason): never
    {
        $status = 500;
        if ($this->loader->loading) {
            $status = 503;
            $reason = "Failed to load module: $reason";
        }
        while ($this->call === null) {
            // It was loaded ahead of requests.
            $frame = $this->connection->receive() ?? $this->leave();
            if ($frame[0]['type'] === 'request') {
                $this->call = new Call($this->connection, $frame[0]['id'], $frame[0]['logging']);
                $this->call->print($this->printedAhead);
            }
        }
        $this->call->fail($reason, $status, ',"stuck":true');
        $this->declineAll();
    }

    /** Declines every request until the server ends this process. */
    private function declineAll(): never
    {
        while (($frame = $this->connection->receive()) !== null) {
            $this->decline($frame[0]);
        }
        $this->leave();
    }

    private function decline(array $frame): void
    {
        if ($frame['type'] === 'request') {
            $this->connection->decline($frame['id']);
        }
    }

    /** Ends a child that the function forked and let return: the parent answers. */
    private function leaveIfForked(): void
    {
        if (getmypid() !== $this->process) {
            $this->leave();
        }
    }

    private function leave(): never
    {
        $this->leaving = true;
        exit(0);
    }
}
