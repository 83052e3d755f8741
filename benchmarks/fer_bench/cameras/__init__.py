"""Several cameras in one process, against as many processes with one each."""
