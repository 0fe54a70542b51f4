<?php

$late = null;

return [
    '/log-values' => function ($context) {
        $context->log('text', 1, [1, ['a' => 'b']], true);
        $context->error('broken', ['code' => 5]);
        $context->log();
        return $context->res->empty();
    },
    '/log-order' => function ($context) use (&$late) {
        $late?->log('late');
        for ($number = 0; $number < 100; $number++) {
            $context->log('log', $number);
            $context->error('error', $number);
        }
        return $context->res->empty();
    },
    '/log-native' => function ($context) {
        $context->log('before');
        echo 'printed ', 1, "\n";
        print("printed 2\n");
        $context->log('after');
        return $context->res->empty();
    },
    '/native-raise' => function () {
        ob_start();
        echo 'printed';
        throw new RuntimeException('went wrong');
    },
    '/log-long' => function ($context) {
        $context->log(str_repeat('x', 8000));
        $context->log(str_repeat('y', 8001));
        return $context->res->empty();
    },
    '/log-flood' => function ($context) {
        for ($line = 0; $line < 1400; $line++) {
            $context->log(str_repeat('z', 8000));
        }
        return $context->res->empty();
    },
    '/log-endless' => function ($context) {
        while (true) {
            $context->log(str_repeat('z', 8000));
        }
    },
    // PHP starts nothing that goes on after the answer: the next call logs with this one's context.
    '/log-late' => function ($context) use (&$late) {
        $late = $context;
        return $context->res->empty();
    },
];
