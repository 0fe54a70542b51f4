<?php

// The router of PHP's own HTTP server, `php -S`, which closes each connection.
header('Content-Type: text/plain');
header('Content-Length: 4');
echo 'Pong';
