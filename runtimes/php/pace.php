<?php

declare(strict_types=1);

namespace Minifn;

/**
 * Returns the nanoseconds that a process has waited for a processor, by Linux's accounting, 0 where
 * nothing tells. A call that waits for one is not slow, and blocks nothing that could run.
 */
function waitedForProcessor(int|string $process): int
{
    $times = @file_get_contents("/proc/$process/schedstat");
    return $times === false ? 0 : (int) (explode(' ', $times)[1] ?? 0);
}

/** Lets the server send requests ahead while calls are fast. */
final class Pace
{
    /** Nanoseconds above which a call is slow. */
    private const SLOW = 4_000_000;
    /** Fast calls in a row before requests may be sent ahead; doubles after each slow call. */
    private const FAST_MIN = 8;
    private const FAST_MAX = 64;

    private bool $ahead = false;
    /** Whether requests were ever sent ahead: some may still wait in the socket. */
    private bool $watched = false;
    /** Whether the server knows that calls block each other. */
    private bool $blocking = false;
    /** Fast calls that are needed now, and after the next slow one. */
    private int $needed = self::FAST_MIN;
    private int $neededNext = self::FAST_MIN;
    private int $beganAt = 0;
    private int $waited = 0;

    /** Without a watcher nothing is sent ahead. */
    public function __construct(private Connection $connection, private ?Watcher $watcher)
    {
    }

    public function enter(int $id): void
    {
        $this->beganAt = hrtime(true);
        if (!$this->ahead) {
            $this->waited = waitedForProcessor('self');
        }
        if ($this->watched) {
            $this->watcher->enter($id, $this->beganAt);
        }
    }

    /** `counts`: whether the time of the call tells something about the next ones. */
    public function leave(bool $counts): void
    {
        $elapsed = hrtime(true) - $this->beganAt;
        if ($this->watched) {
            $this->watcher->leave();
        }
        if (!$counts) {
            return;
        }
        if ($this->ahead) {
            // The watcher alone tells which calls block.
            if ($elapsed > self::SLOW && $this->watcher->hasSeenBlocking()) {
                $this->slow();
            }
            return;
        }
        if ($elapsed > self::SLOW) {
            $elapsed -= waitedForProcessor('self') - $this->waited;
        }
        $elapsed > self::SLOW ? $this->slow() : $this->fast();
    }

    private function slow(): void
    {
        $this->needed = $this->neededNext;
        $this->neededNext = min(self::FAST_MAX, 2 * $this->neededNext);
        $this->ahead = false;
        if (!$this->blocking) {
            $this->blocking = true;
            $this->connection->tellConcurrency(1);
        }
    }

    private function fast(): void
    {
        if ($this->watcher === null || --$this->needed > 0) {
            return;
        }
        $this->neededNext = max(self::FAST_MIN, intdiv($this->neededNext, 2));
        $this->ahead = $this->watched = true;
        $this->blocking = false;
        $this->connection->tellConcurrency(0);
    }

    /** Keeps the watcher from the socket, for the end of the process. */
    public function stopCalls(): void
    {
        if ($this->watched) {
            $this->watcher->leave();
        }
    }
}
