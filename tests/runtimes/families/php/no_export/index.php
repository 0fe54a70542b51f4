<?php

function other($context)
{
    return $context->res->empty();
}
