package io.openruntimes.kotlin

fun sibling(): String = "unfinished
