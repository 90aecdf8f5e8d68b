"""`rulepush test delivery`: a test alert on the whole way, from here through every Alertmanager and the relay to a
robot, and where it stopped. What is seen on the way is told step by step; what cannot be seen is said, not assumed."""
