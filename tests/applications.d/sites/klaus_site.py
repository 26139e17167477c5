"""klaus, which shows Git repositories and takes pushes (by dulwich)."""

import os

import klaus

repository = os.path.join(os.environ["DATA"], "project.git")
application = klaus.make_app(
    [repository], "klaus", use_smarthttp=True, unauthenticated_push=True
)
