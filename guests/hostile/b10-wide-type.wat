;; Imports nothing and exports a type that doubles 40 times.
;;@frame event
;;@import
(type $t0 (tuple u8 u8))
;;@times 40 (type $t{next} (tuple $t{n} $t{n}))
(type $wide (func (param "wide" $t40)))
