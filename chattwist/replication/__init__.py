"""How replicas agree: what they say to each other, who may say it, and what each does on hearing it."""
