<?php

echo "loading\n";

function declared()
{
}

throw new RuntimeException('no database');
