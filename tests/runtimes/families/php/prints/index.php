<?php

echo "loaded\n";
$calls = 0;

return function ($context) use (&$calls) {
    return $context->res->text((string) ++$calls);
};
