"""An RTSP camera for `live_soak.py`: numbered JPEG files over and over, as H.264.

Debian's Python runs it, for Debian's GStreamer: apt-get install gir1.2-gst-rtsp-server-1.0
gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly. Prints ``attached PORT`` once it listens,
and runs until it is ended.

    /usr/bin/python3 benchmarks/rtsp_server.py FOLDER 25      # FOLDER/00000.jpg, 00001.jpg, ..
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


def main(folder: str, fps: int) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")  # a free port
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( multifilesrc location={folder}/%05d.jpg loop=true caps=image/jpeg,framerate={fps}/1 "
        "! jpegdec ! videoconvert ! video/x-raw,format=I420 "
        f"! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={fps} threads=1 "
        "! rtph264pay name=pay0 pt=96 )"
    )
    server.get_mount_points().add_factory("/camera", factory)
    if not server.attach(None):
        raise SystemExit("rtsp_server: expected a free port, found none")
    print("attached", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
