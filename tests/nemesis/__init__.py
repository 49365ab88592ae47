"""Real replicas, disturbed: killed, stopped, cut off and robbed of their disks, while clients write down what they are told."""
