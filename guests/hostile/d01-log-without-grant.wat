;; Imports the log without having it granted.
;;@frame event
;;@use imports/log
