"""`minifn migrate`: functions from one server of Appwrite's API to another."""
