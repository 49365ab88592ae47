"""What twistd can run of this project; imports none of it, so that ``twistd --help`` stays quick and whole."""

from twisted.application.service import ServiceMaker

chatreplica = ServiceMaker(
    "chatreplica",
    "chattwist.tap",
    "One replica of a chat server that people use with telnet and nc.",
    "chatreplica",
)

chatcluster = ServiceMaker(
    "chatcluster",
    "chattwist.clustertap",
    "All replicas of the cluster that live on this machine, watched and started again when one ends.",
    "chatcluster",
)
