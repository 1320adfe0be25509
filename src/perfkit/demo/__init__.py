"""The before/after programs behind ``perfkit demo``: real work, done the ordinary way and with perfkit, and compared.

A demo part is a module with one function, ``run(options, progress) -> PartResult``, named in
`perfkit.demo.runner.PARTS`. It

- does the *same* work twice: before, as people ordinarily write it (the standard library, no straw man), and after,
  with perfkit as a user would call it: through its public names and with nothing switched off;
- interleaves the two in rounds where they can be, so that a noisy machine is noisy for both;
- checks that both came to the same result, and counts what went wrong, in figures that must be 0 with perfkit;
- keeps to temporary files and to worker processes that end with it, whatever ends it;
- takes about 15 seconds at most on two slow cores, and a few with ``quick``.

It prints nothing: what it measured comes back as data (`perfkit.demo.results`), which `perfkit.demo.report` lays out
in 80 columns, `perfkit.demo.html_report` on a page, and ``--json`` for machines. No figure is ever shown that was not
measured in the same run.
"""
