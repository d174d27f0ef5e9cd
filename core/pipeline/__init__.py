"""A job's life: what comes next, one attempt at it, and its end; plain functions over the job's folder."""
