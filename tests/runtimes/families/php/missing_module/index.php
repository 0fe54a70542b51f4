<?php

use Notthereatall\Client;

$client = new Client();

return fn ($context) => $context->res->empty();
