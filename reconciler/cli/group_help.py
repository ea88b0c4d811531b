"""The help of groups as click prints it; `make docs` writes this file."""

GROUPS = {
    "": """\
Usage: mosaic [OPTIONS] COMMAND [ARGS]...

  Let one organisation act in another organisation's system, safely.

Options:
  --version   Show the version and exit.
  -h, --help  Show this message and exit.

Commands:
  federation  Manage peers and grants.
""",
    "federation": """\
Usage: mosaic federation [OPTIONS] COMMAND [ARGS]...

  Manage peers and grants.

  Git declares them, a reconciler applies them, and certificates prove them.

Options:
  -h, --help  Show this message and exit.

Gateway:
  demo        Show two gateways on this machine, from manifest to use.
  init        Create an embedded gateway in .mosaic/.
  up          Run this gateway with all its parts, until Ctrl-C.
  status      Show the last apply, the loops, the holds and what expires soon.
  doctor      Check everything that the gateway needs; change nothing.
  pause       Stop `run` and `up` from applying changes, on every machine.
  resume      Let `run` and `up` apply changes again.
  destroy     Remove this gateway: its folder, its database and its processes.
  prepare     Create the keys, CA files and schema of a gateway with no home.
  serve       Run the HTTPS endpoint and its workers, until a signal.
  run         Apply the source when it changes and by a timer, until a signal.
  authority   Answer whether certificates have authority now, until a signal.
  health      Check that the endpoint on this machine is ready.

Manifests:
  validate    Check manifests and report every problem at once.
  fmt         Format manifests.
  schema      Print a JSON Schema, or the OpenAPI document of the endpoint.
  export      Write the live peers and grants as manifests.
  rename      Rename a peer or a grant; its certificates stay valid.

Plans:
  plan        Show what an apply would change; change nothing.
  apply       Apply the manifests to the database, in one transaction.
  drift       Show what was changed in the database by hand.

Grants and peers:
  grant       Manage grants: what a peer may do on behalf of a user.
  peer        Manage peers: the other gateways.

Backups:
  backup      Write a backup of this gateway to one file, while it runs.
  restore     Restore a backup into a new home, or into an empty database.

History:
  history     Show the newest records of the audit log, or of one object.
  explain     Explain the state of a grant, a peer or a certificate.
  at          Show what was granted to whom at a given time.

Administration:
  keys        Manage the sealing keys.
  ca          Manage the certificate authority: its files and its program.
  db          Manage the database: its schema, and how to reach it.
  audit       Read and archive the audit log, and verify it.
  trust       Show whether commits are signed as the rules of trust require.
  notify      Manage notices to people and forges, and show their delivery.

Other:
  completion  Print the completion script of a shell.
  version     Print the versions of this program and of what it runs with.
""",
}
