package handler

const beside = "beside"
