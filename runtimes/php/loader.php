<?php

declare(strict_types=1);

namespace Minifn;

/** Loads the user's file, once; after a failure it is tried again. */
final class Loader
{
    private const NO_FUNCTION =
        "Function signature invalid. Did you forget to export a 'main' function?";

    public ?\Closure $main = null;
    /** Why the file cannot be loaded in this process, "" as long as it may be. */
    public string $failure = '';
    /** Whether a new process may succeed where this one cannot: PHP forgets no declaration. */
    public bool $spent = false;
    /** Whether the user's file runs now. */
    public bool $loading = false;

    public function __construct(private string $code, private string $entrypoint)
    {
    }

    /** Returns why there is no function, "" when there is one. */
    public function load(): string
    {
        if ($this->main !== null || $this->failure !== '') {
            return $this->failure;
        }
        $file = realpath("$this->code/$this->entrypoint");
        if ($file === false || !is_file($file)) {
            return "Failed to load entrypoint, file $this->entrypoint does not exist.";
        }
        $declared = self::declared($file);
        $this->loading = true;
        try {
            $main = self::include($file);
        } catch (\ParseError $error) {
            $place = "{$error->getFile()}:{$error->getLine()}";
            $problem = "Syntax error in $place: {$error->getMessage()}";
        } catch (\Throwable $error) {
            $problem = 'Failed to load module: ' . describe($error);
        } finally {
            $this->loading = false;
        }
        if (isset($problem)) {
            if (self::declared($file) !== $declared) {
                $this->giveUp($problem);
            }
            return $problem;
        }
        if (!is_callable($main)) {
            return $this->failure = self::NO_FUNCTION;
        }
        $this->main = \Closure::fromCallable($main);
        return '';
    }

    /** Ends the attempts of this process with a reason. */
    public function giveUp(string $failure): void
    {
        $this->failure = $failure;
        $this->spent = true;
    }

    /** Runs the user's file in a scope without variables. */
    private static function include(): mixed
    {
        return include func_get_arg(0);
    }

    /** Returns how much is declared, which a second run of the file would declare again. */
    private static function declared(string $file): array
    {
        return [
            count(get_defined_functions()['user']),
            count(get_declared_classes()),
            count(get_declared_interfaces()),
            count(get_declared_traits()),
            count(array_diff(get_included_files(), [$file])),
        ];
    }
}
