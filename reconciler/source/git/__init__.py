"""Sources in git: repositories, commits and signatures, read by git(1)."""
