"""${message}

A safe migration works while the previous version of the functions still runs against it, and holds no lock for long:

- add columns nullable or with a constant default; drop a column one release after the last reader is gone;
- create an index on a table with rows by `with op.get_context().autocommit_block():` and
  `postgresql_concurrently=True`; if it fails, an INVALID index remains: drop it and run again;
- add a constraint NOT VALID first, validate it in a migration of its own;
- backfill rows outside of migrations: the function has 15 minutes, and a long transaction stops vacuum;
- a view that names columns (live_users) is dropped before and created again after they change;
- env.py gives up after 5 s waiting for a lock: that is safe, run it again at a quieter time.

Revision: ${up_revision}
Follows: ${down_revision | comma,n}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
