"""
Lets old devices use a modern server, at C{/tv}: C{twistd -noy examples/gateway.py}.
"""

from twisted.application.service import Application

from txhixie import Gateway, HixieFactory, HixieService, Routes, Settings

# The origin of the page that the devices show, and the proxy in front of this server.
settings = Settings(origins=("http://tv.example.com", "http://*.example"), maxPerAddress=500)
# They take turns, and each is asked for /app: they have a path of their own.
backends = ("ws://127.0.0.1:9000/app", "ws://127.0.0.1:9001/app")
gateway = Gateway(*backends, bytesPolicy="base64", settings=settings)

application = Application("gateway")
factory = HixieFactory(Routes({"/tv": gateway}), settings=settings)
HixieService(factory, "tcp:3400").setServiceParent(application)
