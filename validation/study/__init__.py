"""The hall that every study passes through: command line, options, results, claims and the words of reports."""
