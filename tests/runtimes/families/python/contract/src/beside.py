TEXT = "beside"
