"""`fer-bench compare`: are two results different?"""
