def debugger():
    shown = []

    def post_mortem(error):
        import pdb
        import traceback

        # What a framework has caught may be raised again.
        if error.__traceback__ is None or any(error is one for one in shown):
            return
        shown.append(error)
        with open("/dev/tty") as keys, open("/dev/tty", "w") as screen:
            traceback.print_exception(type(error), error, error.__traceback__, file=screen)
            session = pdb.Pdb(stdin=keys, stdout=screen)
            session.reset()
            session.interaction(None, error.__traceback__)

    def watch():
        import sys

        def caught(*_, **__):
            error = sys.exc_info()[1]
            if error is not None:
                post_mortem(error)

        for name in ("django.core.signals", "flask.signals"):
            module = sys.modules.get(name)
            if module is not None:
                module.got_request_exception.connect(caught, weak=False)

    return post_mortem, watch
