"""What jobs report: tables for a terminal, values for programs, HTML pages and figures."""
