<?php

declare(strict_types=1);

namespace Minifn;

/** Lets the server send requests ahead while calls are fast. */
final class Pace
{
    /** Nanoseconds above which a call is slow. */
    private const SLOW = 4_000_000;
    /** Fast calls in a row before requests may be sent ahead. The number doubles after each slow call. */
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

    /** Without a watcher nothing is sent ahead. */
    public function __construct(private Connection $connection, private ?Watcher $watcher)
    {
    }

    public function enter(int $id): void
    {
        $this->beganAt = hrtime(true);
        if ($this->watched) {
            $this->watcher->enter($id, $this->beganAt);
        }
    }

    /** `counts`: whether the time of the call tells something about the next ones. */
    public function leave(bool $counts): void
    {
        $slow = hrtime(true) - $this->beganAt > self::SLOW;
        if ($this->watched) {
            $this->watcher->leave();
        }
        if (!$counts || ($this->ahead && !$slow)) {
            return;
        }
        if ($slow) {
            $this->needed = $this->neededNext;
            $this->neededNext = min(self::FAST_MAX, 2 * $this->neededNext);
            if ($this->ahead || !$this->blocking) {
                $this->connection->tellConcurrency(1);
            }
            $this->ahead = false;
            $this->blocking = true;
        } elseif ($this->watcher !== null && --$this->needed === 0) {
            $this->neededNext = max(self::FAST_MIN, intdiv($this->neededNext, 2));
            $this->ahead = $this->watched = true;
            $this->blocking = false;
            $this->connection->tellConcurrency(0);
        }
    }

    /** Keeps the watcher from the socket, for the end of the process. */
    public function stopCalls(): void
    {
        if ($this->watched) {
            $this->watcher->leave();
        }
    }
}
