# An application host: a battlepassd with its own folder, sockets and configuration, and its own lines to Redis and MariaDB (a
# proxy each), so that one host can be cut off while the other is not.
package Chaos::Host;

use strict;
use warnings;

use Carp qw(croak);
use Chaos::Process;
use File::Path qw(make_path);
use Time::HiRes qw(sleep time);

my @lanes = qw(read store purchase admin);

# name, folder, stack (environment of t/stack), build, programs (folder of the proxy), seed, mutant.
sub new {
    my ($class, %options) = @_;
    my $self = bless {%options}, $class;
    make_path("$self->{folder}/$_") for qw(run crash conf.d);
    $self->_configure;
    for my $server (qw(redis mariadb)) {
        $self->{lines}{$server} = Chaos::Process->start(
            command => [ "$self->{programs}/proxy", "$self->{folder}/$server.sock", $self->{stack}{ $server eq 'redis' ? 'REDIS_SOCKET' : 'MYSQL_SOCKET' }, ++$self->{seed} ],
            log => "$self->{folder}/proxy.log",
            input => 1,
        );
    }
    return $self;
}

# Few processes: two hosts and their servers share the machine.
sub _configure {
    my ($self) = @_;
    my ($keys) = $self->{stack}{DEV_KEY} =~ m{^(.*)/};
    $self->_write('battlepass.conf', <<"CONF");
run_dir = "$self->{folder}/run"
crash_points = "$self->{folder}/crash"
store {
	socket = "$self->{folder}/mariadb.sock"
	user = "battlepass"
	database = "battlepass"
}
cache {
	socket = "$self->{folder}/redis.sock"
}
auth {
	keys = "$keys/set.json"
}
CONF
    $self->lanes(1, 2);
    return;
}

sub _write {
    my ($self, $name, $text) = @_;
    open my $out, '>', "$self->{folder}/$name.new" or croak "$name: $!";
    print {$out} $text;
    close $out or croak "$name: $!";
    rename "$self->{folder}/$name.new", "$self->{folder}/$name" or croak "$name: $!";
    return;
}

# Processes of the read and the store lane; in force with the next start or reload.
sub lanes {
    my ($self, $read, $store) = @_;
    $self->_write('conf.d/50-lanes.conf', <<"CONF");
read_lane {
	processes = $read
}
store_lane {
	processes = $store
}
purchase_lane {
	processes = 1
}
CONF
    return;
}

# How long it waits for Redis, to connect and in one round trip (ms); in force likewise.
sub patience {
    my ($self, $ms) = @_;
    $self->_write('conf.d/60-patience.conf', "cache {\n\tconnect_timeout_ms = $ms\n\tturn_timeout_ms = $ms\n}\n");
    return;
}

sub name { return $_[0]{name} }
sub run_dir { return "$_[0]{folder}/run" }

sub start {
    my ($self) = @_;
    unlink map { "$self->{folder}/run/$_" } (map { "$_.sock" } @lanes), 'battlepassd.pid';
    $self->{master} = Chaos::Process->start(
        command => [ "$self->{build}/battlepassd", '-c', "$self->{folder}/battlepass.conf" ],
        log => "$self->{folder}/battlepassd.log",
        environment => { defined $self->{mutant} ? (BATTLEPASS_MUTANT => $self->{mutant}) : () },
    );
    my $deadline = time + 20;
    until (-s "$self->{folder}/run/battlepassd.pid" && !grep { !-S "$self->{folder}/run/$_.sock" } @lanes) {
        croak "battlepassd of host $self->{name} does not start: see $self->{folder}/battlepassd.log"
            if time > $deadline || !$self->{master}->runs;
        sleep 0.01;
    }
    return $self;
}

sub stop {
    my ($self) = @_;
    $self->{master}->stop if $self->{master};
    return;
}

# A master that was killed is started again, as the init system would.
sub revive {
    my ($self) = @_;
    $self->start unless $self->{master}->runs;
    return;
}

sub master { return $_[0]{master} }

# Pids of the kind: read, store, steward, courier ..; without a kind all.
sub processes {
    my ($self, $kind) = @_;
    return map { $_->[0] } grep { !defined $kind || $_->[1] eq "bp-$kind" } $self->{master}->children;
}

# The first that comes by this point of the code dies there.
sub set_crash_point {
    my ($self, $point) = @_;
    open my $file, '>', "$self->{folder}/crash/$point" or croak "$point: $!";
    return;
}

sub clear_crash_points {
    my ($self) = @_;
    unlink glob "$self->{folder}/crash/*";
    return;
}

# New connections to redis lead to this socket; those that stand stay, until they are severed.
sub lead_to {
    my ($self, $socket, $severed) = @_;
    print { $self->{lines}{redis}{input} } "to $socket", $severed ? ',sever' : '', "\n";
    return;
}

sub sever {
    my ($self) = @_;
    print { $self->{lines}{redis}{input} } "sever\n";
    return;
}

# Troubles of the line to redis or mariadb (t/chaos/proxy.c), in place of those before; none: the line is good.
sub line {
    my ($self, $server, @troubles) = @_;
    my $proxy = $self->{lines}{$server};
    $proxy->runs or croak "the proxy of host $self->{name} has ended";
    print { $proxy->{input} } join(',', 'clear', @troubles), "\n";
    return;
}

1;
