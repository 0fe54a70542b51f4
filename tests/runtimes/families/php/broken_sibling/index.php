<?php

require __DIR__ . '/sibling.php';

return fn ($context) => $context->res->empty();
