"""${message[0].upper()}${message[1:]}.

% if own:
One of our own migrations: migrations/own/README.md. Each runs as soon as what it depends on has run.
% else:
A migration of the product. pipeline/schema.py has the result, and a test compares the two.
% endif

A safe migration suits the version of the functions before it, and holds no lock for long:

- Add columns nullable or with a constant default. Drop a column one release after the last reader is gone.
- Create an index on a table with rows by `with op.get_context().autocommit_block():` and
  `postgresql_concurrently=True`. Before it, drop the INVALID index that a failed attempt leaves.
- Add a constraint NOT VALID; validate it in a migration of its own.
- Backfill rows outside of migrations: the function has 15 minutes, and a long transaction stops vacuum.
% if own:
- Put new tables and views into a schema of their own. To the product's tables and views only add, to views by
  pipeline/migration/views.py.
- auth0_readers may read new tables, and auth0_writer may do nothing with them. In schema auth0 other rights of these
  two, and of PUBLIC, do not last; in other schemas they do.
- The product may make the view live_users anew: it stops, changing nothing, if other views select from it.
% else:
- Users have columns, indexes and grants of their own. Change a view by pipeline/migration/views.py, which keeps them.
- Never change a migration that is released.
% endif
- Migrations wait 5 s for a table's lock, then give up, changing nothing. Run them again at a quieter time.

Delete this list when the migration is written.

Revision: ${up_revision}
Follows: ${comma(down_revision) or "none"}
% if depends_on:
Depends on: ${depends_on | comma,n}
% endif
"""

from alembic import op

revision = ${repr(up_revision).replace("'", '"')}
down_revision = ${repr(down_revision).replace("'", '"')}
branch_labels = ${repr(branch_labels).replace("'", '"')}
depends_on = ${repr(depends_on).replace("'", '"')}


def upgrade() -> None:
    op.execute("the statements of the migration")


def downgrade() -> None:
    op.execute("the statements that take it back")
