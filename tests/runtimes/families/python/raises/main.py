print("loading")
raise RuntimeError("no database")
