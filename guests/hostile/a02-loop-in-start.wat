;; Loops for ever in the start function, before any handler is called.
;;@frame event
;;@core
(func $start (loop $for_ever (br $for_ever)))
(start $start)
