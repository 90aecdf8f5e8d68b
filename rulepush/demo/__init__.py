"""`rulepush demo`: the life of one alert, with simulated servers where real ones are missing."""
