package handler

const sibling = = "sibling"
