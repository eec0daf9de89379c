"""The explorer as files: a read-only site that can be put on any web host, or opened from a disk.

    write_site("site", pages("runs"))

Architectures, claims, experiments and runs, from the functions that the explorer and the reports
call. Nothing in it is asked of another host, and all its links are relative.
"""

from fathom.website.contents import pages as pages
from fathom.website.write import Site as Site
from fathom.website.write import write_site as write_site
