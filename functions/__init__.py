"""The HTTP edge: checks a producer's key and records, and answers once Pub/Sub holds them."""
