<?php

// The handler's argument, with the names of Open Runtimes
// (runtimes/php/versions/latest/src/types.php).

declare(strict_types=1);

use Minifn\Call;

class RuntimeRequest
{
    public string $bodyBinary = '';
    public array $headers = [];
    public string $method = '';
    public string $url = '';
    public string $path = '';
    public int $port = 80;
    public string $host = '';
    public string $scheme = '';
    public string $queryString = '';
    public array $query = [];

    public function __get(string $name): mixed
    {
        return match ($name) {
            'body' => $this->getBody(),
            'bodyRaw', 'bodyText' => $this->bodyBinary,
            'bodyJson' => $this->getBodyJson(),
            default => '',
        };
    }

    public function __isset(string $name): bool
    {
        return in_array($name, ['body', 'bodyRaw', 'bodyText', 'bodyJson'], true);
    }

    private function getBody(): string|array
    {
        $type = strtolower($this->headers['content-type'] ?? '');
        if (!str_starts_with($type, 'application/json')) {
            return $this->bodyBinary;
        }
        return $this->bodyBinary === '' ? [] : $this->getBodyJson();
    }

    /** A body that is JSON, but neither object nor list, is a TypeError, as on Open Runtimes. */
    private function getBodyJson(): array
    {
        try {
            return json_decode($this->bodyBinary, true, flags: JSON_THROW_ON_ERROR);
        } catch (JsonException $error) {
            $message = "The body is not JSON: {$error->getMessage()}";
            throw new JsonException($message, $error->getCode());
        }
    }
}

/** Its functions only describe a response; the handler's result counts. */
class RuntimeResponse
{
    public function binary(string $binary, int $statusCode = 200, array $headers = []): array
    {
        return ['body' => $binary, 'statusCode' => $statusCode, 'headers' => $headers];
    }

    public function text(string $body, int $statusCode = 200, array $headers = []): array
    {
        return ['body' => $body, 'statusCode' => $statusCode, 'headers' => $headers];
    }

    public function send(mixed $body, int $statusCode = 200, array $headers = []): array
    {
        return ['body' => strval($body), 'statusCode' => $statusCode, 'headers' => $headers];
    }

    /** Lists become objects, as on Open Runtimes. */
    public function json(array $obj, int $statusCode = 200, array $headers = []): array
    {
        $headers = array_change_key_case($headers);
        $headers['content-type'] = 'application/json';
        $body = json_encode($obj, JSON_FORCE_OBJECT | JSON_THROW_ON_ERROR);
        return ['body' => $body, 'statusCode' => $statusCode, 'headers' => $headers];
    }

    public function empty(): array
    {
        return ['body' => '', 'statusCode' => 204, 'headers' => []];
    }

    public function redirect(string $url, int $statusCode = 301, array $headers = []): array
    {
        $headers = array_change_key_case($headers);
        $headers['location'] = $url;
        return ['body' => '', 'statusCode' => $statusCode, 'headers' => $headers];
    }
}

class RuntimeContext
{
    public function __construct(
        public RuntimeRequest $req,
        public RuntimeResponse $res,
        private Call $call,
    ) {
    }

    public function log(mixed ...$messages): void
    {
        $this->call->write('logs', Minifn\format($messages));
    }

    public function error(mixed ...$messages): void
    {
        $this->call->write('errors', Minifn\format($messages));
    }
}
