package handler

func other() {}
