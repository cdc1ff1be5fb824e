"""The AWS emulator: MiniStack with patches for its gaps, started by ``python -m devstack.emulator``.

``process`` starts and stops it, ``patches`` holds one module per gap, which describes the AWS service and MiniStack
without the patch. Code outside this package does not depend on the emulation.
"""
