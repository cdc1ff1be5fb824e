"""The AWS of this machine: MiniStack with what it lacks, started by ``python -m devstack.emulator``.

``process`` starts and stops it, ``patches`` holds one module per gap: what the AWS service does, what MiniStack does
without the patch. Nothing outside this package knows that the services are emulated.
"""
