<?php

declare(strict_types=1);

namespace Minifn;

/**
 * A child process that hands back the requests behind a call that blocks.
 *
 * PHP runs one call at a time and cannot look at the socket meanwhile. The worker holds the lock of
 * a file except during calls, and gives the file the length of the call's number. The child, which
 * opened the file itself, looks every few milliseconds: when it gets the lock and the number is
 * that of the last look, it tells the server that calls block, and declines the waiting requests.
 * It rests while nothing happens; a byte in the pipe wakes it, and the end of the pipe ends it.
 */
final class Watcher
{
    private const TICK_MICROSECONDS = 4000;
    /** Looks without news after which the child rests. */
    private const QUIET_TICKS = 250;
    /** Nanoseconds without a call after which it is woken; it does not rest before. */
    private const WAKE_NANOSECONDS = 500_000_000;
    /** Largest length of the file: numbers of calls begin again after it. */
    private const NUMBERS = 0xFFFF;
    /** Length of the file by which the child says that the call blocks. */
    private const BLOCKING = self::NUMBERS + 1;

    private int $beganAt = 0;

    /**
     * @param resource $lock the worker's or the child's
     * @param resource $pipe its end of the pipe
     */
    private function __construct(private Connection $connection, private $lock, private $pipe)
    {
    }

    /** Starts the child and takes the lock. Returns null where PHP has not what it takes. */
    public static function start(Connection $connection): ?self
    {
        if (!function_exists('pcntl_fork') || !function_exists('posix_kill')) {
            return null;
        }
        $path = @tempnam(sys_get_temp_dir(), 'minifn');
        $locks = $path === false ? [] : array_filter([@fopen($path, 'r+b'), @fopen($path, 'r+b')]);
        $pipe = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        if ($path !== false) {
            unlink($path);
        }
        if (count($locks) < 2 || $pipe === false || !flock($locks[0], LOCK_EX)) {
            return null;
        }
        $worker = posix_getpid();
        $child = pcntl_fork();
        if ($child === -1) {
            return null;
        }
        if ($child === 0) {
            // The function may wait for its own children: this one is its grandchild.
            if (pcntl_fork() === 0) {
                fclose($pipe[0]);
                fclose($locks[0]);
                (new self($connection, $locks[1], $pipe[1]))->watch($worker);
            }
            self::end();
        }
        pcntl_waitpid($child, $status);
        fclose($pipe[1]);
        fclose($locks[1]);
        return new self($connection, $locks[0], $pipe[0]);
    }

    /** Says that a call begins. */
    public function enter(int $id, int $now): void
    {
        if ($now - $this->beganAt > self::WAKE_NANOSECONDS) {
            @fwrite($this->pipe, '.');
        }
        $this->beganAt = $now;
        ftruncate($this->lock, $id & self::NUMBERS);
        flock($this->lock, LOCK_UN);
    }

    /** Says that the call has ended; waits while requests are handed back. */
    public function leave(): void
    {
        flock($this->lock, LOCK_EX);
    }

    /** Tells whether the call that has just ended was seen to block. */
    public function hasSeenBlocking(): bool
    {
        return fstat($this->lock)['size'] === self::BLOCKING;
    }

    /** Looks after the calls of the process `worker`. */
    private function watch(int $worker): never
    {
        $seen = -1;
        $seenAt = $waited = 0;
        $quiet = self::QUIET_TICKS;
        while (true) {
            $read = [$this->pipe];
            $none = null;
            $resting = $quiet >= self::QUIET_TICKS;
            $wait = $resting ? [null] : [0, self::TICK_MICROSECONDS];
            if (stream_select($read, $none, $none, ...$wait)) {
                if ((string) fread($this->pipe, 64) === '') {
                    self::end();
                }
                $quiet = 0;
            }
            $number = fstat($this->lock)['size'];
            if ($number !== $seen) {
                $quiet = 0;
                $seen = $number;
                $seenAt = hrtime(true);
                $waited = waitedForProcessor($worker);
                continue;
            }
            $quiet++;
            $elapsed = hrtime(true) - $seenAt - (waitedForProcessor($worker) - $waited);
            $blocks = $elapsed >= 1000 * self::TICK_MICROSECONDS;
            if (!$blocks || !flock($this->lock, LOCK_EX | LOCK_NB)) {
                continue;
            }
            if (fstat($this->lock)['size'] === $seen) {
                if ($seen !== self::BLOCKING) {
                    $this->connection->tellConcurrency(1);
                    ftruncate($this->lock, self::BLOCKING);
                    $seen = self::BLOCKING;
                }
                $this->handBack();
            }
            flock($this->lock, LOCK_UN);
        }
    }

    private function handBack(): void
    {
        while ($this->connection->hasFrame()) {
            $frame = $this->connection->receive();
            if ($frame === null) {
                self::end();
            }
            if ($frame[0]['type'] === 'request') {
                $this->connection->decline($frame[0]['id']);
            }
        }
    }

    /** Ends this process without what PHP does at the end of a script. */
    private static function end(): never
    {
        posix_kill(posix_getpid(), SIGKILL);
        exit;
    }
}
