"""
Lets old devices use a modern server, at C{/tv}: C{twistd -noy examples/gateway.py}.
"""

from twisted.application.service import Application

from txhixie import Gateway, HixieFactory, HixieService, Routes, Settings

# Who may come: the pages that the devices show.
settings = Settings(origins=("http://example.com", "http://*.example.com"))
# They take turns. As they have a path, they are asked for that one, and not for /tv.
backends = ("ws://127.0.0.1:9000/app", "ws://127.0.0.1:9001/app")
gateway = Gateway(*backends, bytesPolicy="base64", settings=settings)

application = Application("gateway")
factory = HixieFactory(Routes({"/tv": gateway}), settings=settings)
HixieService(factory, "tcp:3400").setServiceParent(application)
