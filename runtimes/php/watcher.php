<?php

declare(strict_types=1);

namespace Minifn;

/**
 * A child process that hands back the requests behind a call that blocks.
 *
 * PHP runs one call at a time and cannot look at the socket meanwhile. The worker holds a file's lock except during
 * calls, and gives the file the length of the call's number. The child, which opened the file itself, looks every few
 * milliseconds: when it gets the lock and the number is that of the last look, it reads the waiting requests and
 * declines them. It rests while nothing happens; a byte in the pipe wakes it, and the pipe's end ends it.
 */
final class Watcher
{
    private const TICK_MICROSECONDS = 4000;
    /** Looks without news after which the child rests, and nanoseconds after which it is woken: fewer than those. */
    private const QUIET_TICKS = 250;
    private const WAKE_NANOSECONDS = 500_000_000;
    private const NUMBERS = 0xFFFF;

    private int $beganAt = 0;

    /**
     * @param resource $lock the worker's or the child's
     * @param resource $pipe its end of the pipe
     */
    private function __construct(private Connection $connection, private $lock, private $pipe)
    {
    }

    /** Starts the child and takes the lock. Returns null where PHP cannot: requests are not sent ahead then. */
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
        $child = pcntl_fork();
        if ($child === -1) {
            return null;
        }
        if ($child === 0) {
            // The function may wait for its own children: this one is its grandchild.
            if (pcntl_fork() === 0) {
                fclose($pipe[0]);
                fclose($locks[0]);
                (new self($connection, $locks[1], $pipe[1]))->watch();
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

    private function watch(): never
    {
        $seen = -1;
        $quiet = self::QUIET_TICKS;
        while (true) {
            $read = [$this->pipe];
            $none = null;
            $resting = $quiet >= self::QUIET_TICKS;
            $seconds = $resting ? null : 0;
            if (stream_select($read, $none, $none, $seconds, $resting ? null : self::TICK_MICROSECONDS)) {
                if ((string) fread($this->pipe, 64) === '') {
                    self::end();
                }
                $quiet = 0;
            }
            $number = fstat($this->lock)['size'];
            $quiet = $number === $seen ? $quiet + 1 : 0;
            if (flock($this->lock, LOCK_EX | LOCK_NB)) {
                if ($number === $seen && fstat($this->lock)['size'] === $seen) {
                    $this->handBack();
                }
                flock($this->lock, LOCK_UN);
            }
            $seen = $number;
        }
    }

    private function handBack(): void
    {
        for ($first = true; $this->connection->hasFrame(); $first = false) {
            $frame = $this->connection->receive();
            if ($frame === null) {
                self::end();
            }
            if ($frame[0]['type'] === 'request') {
                if ($first) {
                    $this->connection->tellConcurrency(1);
                }
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
