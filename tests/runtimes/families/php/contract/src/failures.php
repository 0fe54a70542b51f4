<?php

final class State
{
    public static int $calls = 0;
    public static string $worker = '';
}

State::$worker = (string) hrtime(true);

function overflow(int $depth): int
{
    return overflow($depth + 1) + 1;
}

return [
    '/state' => fn ($context) =>
        $context->res->json(['calls' => ++State::$calls, 'worker' => State::$worker]),
    '/exit' => function ($context) {
        $context->log('called');
        fwrite(STDERR, "last words\n");
        exit(7);
    },
    '/overflow' => fn () => overflow(1),
    '/memory' => function () {
        for ($kept = []; true; $kept[] = str_repeat('x', 1024 * 1024)) {
        }
    },
    '/sleep' => function ($context) {
        $context->log('begun');
        usleep((int) (1_000_000 * (float) $context->req->queryString));
        return $context->res->text(State::$worker);
    },
    '/never' => function ($context) {
        $context->log('begun');
        sleep(3600);
    },
    '/spin' => function ($context) {
        $context->log('begun');
        while (true) {
        }
    },
    '/echo' => function ($context) {
        $context->log('first', $context->req->bodyText);
        $context->error('error', $context->req->bodyText);
        usleep(1000 * (int) $context->req->queryString);
        $context->log('second', $context->req->bodyText);
        return $context->res->text($context->req->bodyText);
    },
];
