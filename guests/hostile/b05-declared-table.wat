;; Declares a table of four billion elements.
;;@frame event
;;@core
(table 0xffffffff funcref)
