<?php

function broken(
function broken(
